// Loads a module of demo/, which is plain JavaScript and not compiled with the tests.

/** The repository's demo folder, seen from build/test/demo. */
export const DEMO_FOLDER = new URL('../../../demo/', import.meta.url)

export async function demoModule(path: string): Promise<any> {
  return import(new URL(path, DEMO_FOLDER).href)
}
