// How byre looks at what may be a pipe or a socket.

/**
 * For fstatSync and lstatSync of anything that may be a pipe or a socket. Node 20's realpathSync takes the type of a path
 * from the buffer of the last stat with numbers, and ends early when that was a pipe or a socket: every import through a
 * symbolic link (pnpm, workspaces, npm link) then resolves to the wrong file. Stats with bigints have a buffer of their own.
 */
export const BIGINT = { bigint: true } as const
