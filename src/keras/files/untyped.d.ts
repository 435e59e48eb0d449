// What is used of it is described in jsfive.ts.
declare module 'jsfive';
