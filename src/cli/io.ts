// Output of the commands: results go to stdout, everything else to stderr. A closed pipe (`| head`) is not an error.

/** Writes to stdout and waits until the text has left this process. Also resolves when the reader is gone. */
export function print(text: string): Promise<void> {
  return write(process.stdout, text)
}

/** Writes to stderr in the same way. */
export function printError(text: string): Promise<void> {
  return write(process.stderr, text)
}

/** Returns the width of the terminal on stdout, or undefined without a terminal: then lines may have any length. */
export function columns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined
}

function write(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      // EIO: the terminal was closed.
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
