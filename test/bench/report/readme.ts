const START = '<!-- Written by `npm run bench` -->'
const END = '<!-- Until here -->'

/** Parts of the results that README leaves to the file with all of them. */
const LEFT_OUT = /^(?:# |Packages: |## Login and logout|## With more sessions)/

/** README with the results of this run in the place of those of the last one. */
export function updateReadme(readme: string, tables: string): string {
  const from = readme.indexOf(START)
  const to = readme.indexOf(END)
  if (from < 0 || to < from) throw new Error(`README must have a place for the results, from ${START} to ${END}`)
  return `${readme.slice(0, from)}${START}\n\n${shorten(tables)}\n\n${readme.slice(to)}`
}

/** Section by section: a heading of the second level, or the text before the first one. */
function shorten(tables: string): string {
  const sections = tables.trim().split(/\n\n(?=## )/)
  const paragraphs = sections
    .map((section) => section.split('\n\n').filter((paragraph) => !LEFT_OUT.test(paragraph)))
    .filter((_, index) => !LEFT_OUT.test(sections[index] ?? '') || index === 0)
  return paragraphs.flat().join('\n\n').replace(/^## /gm, '### ')
}
