// The package has no types of its own.
declare module 'cluster-key-slot' {
  /** The Cluster slot of a key: that of its hash tag, if the key has one. */
  export default function slotOfKey(key: string): number
}
