// Where a program can be hosted.
export const PLACEMENTS = ['process', 'thread', 'shared']
