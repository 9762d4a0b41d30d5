// The options for stat calls on a file that may be a pipe or a socket.

/**
 * For fstatSync and lstatSync. Node 20's realpathSync reads the type of a path from the buffer of the last stat call with
 * numbers, and it stops early when that call was for a pipe or a socket. Every import through a symbolic link (pnpm,
 * workspaces, npm link) then resolves to the wrong file. Stat calls with bigints use a separate buffer.
 */
export const BIGINT = { bigint: true } as const
