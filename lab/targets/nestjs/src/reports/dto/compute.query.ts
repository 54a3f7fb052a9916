import { WholeNumber } from '../../validation/decorators.js';

export class ComputeQuery {
  @WholeNumber(0, 40)
  n: number;
}
