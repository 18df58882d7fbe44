/** Pseudorandom choices, the same for the same seed and index. */
export interface Random {
  /** An integer from 0 to the limit, without the limit. */
  below(limit: number): number
  pick<Choice>(choices: readonly Choice[]): Choice
  /** True once in `times` calls on average. */
  oneIn(times: number): boolean
}

/**
 * @param index index of the case. Each case has separate choices, so that a case can be repeated without earlier cases.
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

/** The finalizer of murmur3: similar numbers get unrelated results. */
function scramble(value: number): number {
  let bits = value | 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}
