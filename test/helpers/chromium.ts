// A real Chromium without a window and without a network, where one is installed.
import { existsSync } from 'node:fs'

/** Undefined: none is installed. */
export const chromium = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
)

export const CHROMIUM_FLAGS =
  '--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync'.split(
    ' ',
  )
