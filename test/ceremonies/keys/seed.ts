/** One seed for all property tests of a run, printed, so that a failure can be played again: FC_SEED=n node --test ... */
export const SEED = Number(process.env['FC_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
console.log(`property tests: FC_SEED=${SEED}`);
