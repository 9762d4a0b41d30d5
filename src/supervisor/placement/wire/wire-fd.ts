// Which descriptor of a worker's process is its wire: a variable tells when it is not 3, and is taken out before anybody looks.

const VARIABLE = 'BYRE_WIRE_FD'
const USUAL_FD = 3

/** For the environment of the child. */
export function wireSetting(fd: number): Record<string, string> {
  return fd === USUAL_FD ? {} : { [VARIABLE]: String(fd) }
}

/** In the child; removes the variable from `env`. */
export function takeWireFd(env: NodeJS.ProcessEnv): number {
  const fd = Number(env[VARIABLE] ?? USUAL_FD)
  delete env[VARIABLE]
  return fd
}
