// Nothing on this page is ever parsed as markup: data goes in as text.

export function element(id) {
  return document.getElementById(id)
}

export function create(tag, className, ...children) {
  const made = document.createElement(tag)
  made.className = className
  made.append(...children) // a string becomes a text node
  return made
}

/** Changes a text only when it differs: a live region would read the same words again. */
export function say(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text
}
