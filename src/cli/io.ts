// What the commands print. Facts go to stdout, everything else to stderr; a reader that went away (`| head`) is no error.

/** Writes to stdout and waits until it is out of this process. Resolves also when nobody reads any more. */
export function print(text: string): Promise<void> {
  return write(process.stdout, text)
}

/** Writes to stderr, likewise. */
export function printError(text: string): Promise<void> {
  return write(process.stderr, text)
}

/** Columns of the terminal stdout is, or undefined: then lines may have any length. */
export function columns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined
}

function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      // EIO: the terminal was closed
      if (error.code === 'EPIPE' || (error.code === 'EIO' && stream.isTTY)) resolve()
      else reject(error)
    }
    stream.once('error', onError)
    stream.write(text, (error) => {
      if (error === null || error === undefined) {
        stream.removeListener('error', onError)
        resolve()
      } else onError(error)
    })
  })
}
