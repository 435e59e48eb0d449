/**
 * Contestants run in processes of their own, so that no library's threads, flags or garbage disturb another's. Parent and
 * child exchange JSON, one message a line: {id, method, parameters} → {id, result} or {id, error, unsupported}.
 *
 * | method | does | returns |
 * |---|---|---|
 * | open {threads, …} | loads the library | {version, caches?} |
 * | prepare {key, task} | builds a task; later calls name it by its key | |
 * | check {key, file} | runs it once; writes f32s to the file or returns a few numbers | {numbers?} |
 * | time {key, seconds, minimum} | runs it for so long, and so many times at least | {median, minimum, runs}, times in ms |
 * | release {key} | frees it | |
 */

/** Thrown by a contestant that cannot do a task at all: its cell stays empty. */
export class Unsupported extends Error {}
