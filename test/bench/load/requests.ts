/** The headers of all requests. */
export const BROWSER =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'

/** A request with the headers of a browser. */
export function toRequest(method: string, path: string, headers: Record<string, string> = {}, body?: object): string {
  const text = body === undefined ? '' : JSON.stringify(body)
  const hasBody = method === 'POST' || body !== undefined
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    `User-Agent: ${BROWSER}`,
    'Accept: application/json',
    ...(body === undefined ? [] : ['Content-Type: application/json']),
    ...(hasBody ? [`Content-Length: ${Buffer.byteLength(text)}`] : []),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  ]
  return `${lines.join('\r\n')}\r\n\r\n${text}`
}

export function loginRequests(count: number, name: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) =>
    toRequest('POST', '/user/login', {}, { username: name(index), password: 'correct horse battery staple' })
  )
}

/** The header that a client sends after the login. */
export function credentialOf(loginAnswer: string, tokenHeader: string | undefined): Record<string, string> {
  const token = /"access_token":"([^"]+)"/.exec(loginAnswer)?.[1]
  if (token !== undefined) return tokenHeader ? { [tokenHeader]: token } : { authorization: `Bearer ${token}` }
  const cookies = [...loginAnswer.matchAll(/\r\nset-cookie: ([^;\r]+)/gi)].map(([, cookie]) => cookie)
  if (cookies.length === 0) throw new Error(`A login without a token or a cookie: ${loginAnswer}`)
  return { cookie: cookies.join('; ') }
}
