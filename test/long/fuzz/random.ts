/** Draws that look like chance, and come again for the same seed and index. */
export interface Random {
  /** An integer from 0 up to, and without, the limit. */
  below(limit: number): number
  pick<Choice>(choices: readonly Choice[]): Choice
  /** True once in so many times. */
  oneIn(times: number): boolean
}

/**
 * @param index of the case that is made of them: each has draws of its own, so that one can be made again without those
 * before it
 */
export function createRandom(seed: number, index: number): Random {
  let state = scramble(scramble(seed) ^ index)

  // mulberry32
  function next(): number {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), state | 1)
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61)
    return (bits ^ (bits >>> 14)) >>> 0
  }

  const below = (limit: number) => next() % limit
  return {
    below,
    pick: <Choice>(choices: readonly Choice[]) => choices[below(choices.length)] as Choice,
    oneIn: (times) => below(times) === 0
  }
}

/** murmur3's last step: neighbours have nothing in common any more. */
function scramble(value: number): number {
  let bits = value | 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}
