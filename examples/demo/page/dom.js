// Data is inserted as text, never parsed as markup.

export function element(id) {
  return document.getElementById(id)
}

export function create(tag, className, ...children) {
  const made = document.createElement(tag)
  made.className = className
  made.append(...children) // a string becomes a text node
  return made
}

/** Sets a text unless unchanged: a live region would read the same words again. */
export function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text
}
