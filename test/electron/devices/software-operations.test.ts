import { operations } from './operations.ts';

operations('software');
