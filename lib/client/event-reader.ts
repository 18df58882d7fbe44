/**
 * Takes all complete events and comments off the text of an event stream: a name and one line of data, as the server
 * writes an event; without a name a comment.
 *
 * @returns the rest
 */
export function takeEvents(text: string, take: (name?: string, data?: string) => void): string {
  return text.replace(/^(?:event: (.*)\ndata: (.*)|:.*)\n+/gm, (_, name?: string, data?: string) => {
    take(name, data)
    return ''
  })
}
