// The package has no types.
declare module 'cluster-key-slot' {
  /** The Cluster slot of a key, or of the key's hash tag. */
  export default function slotOfKey(key: string): number
}
