import { deviceName } from './device-name.js'
import { create, element } from './dom.js'

/**
 * Shows the response of `GET /user/sessions`. Rows are reused: replacing a row between the press and the release of a
 * button would lose the click.
 */
export function renderSessions(sessions) {
  const list = element('sessions')
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]))
  for (const session of sessions) {
    const row = rows.get(session.id) ?? list.appendChild(createRow(session))
    rows.delete(session.id)
    setTime(row.querySelector('.last-activity'), session.last_seen_at)
  }
  for (const row of rows.values()) row.remove()
  element('end-others').hidden = sessions.length < 2
}

function createRow({ id, current, user_agent: userAgent, ip, created_at: createdAt }) {
  const name = deviceName(userAgent)
  const device = create('strong', 'device', name)
  device.title = userAgent ?? ''
  const facts = create('dl', 'session-facts')
  facts.append(createFact('IP address', ip ?? 'unknown'))
  facts.append(createFact('Logged in', setTime(create('time', ''), createdAt)))
  facts.append(createFact('Last activity', create('time', 'last-activity')))

  const badgeOrButton = current ? create('span', 'badge', 'This session') : createEndButton(id, name)
  const row = create('li', 'session', device, badgeOrButton, facts)
  row.dataset.id = id
  return row
}

function createFact(name, value) {
  return create('div', '', create('dt', '', name), create('dd', '', value))
}

function createEndButton(id, name) {
  const button = create('button', 'minor', 'End')
  button.type = 'button'
  button.ariaLabel = `End the session of ${name}`
  button.dataset.id = id
  return button
}

function setTime(time, iso) {
  time.dateTime = iso
  time.textContent = new Date(iso).toLocaleTimeString()
  return time
}
