import { WholeNumber } from '../../validation/decorators.js';

export class ListPostsQuery {
  @WholeNumber(1, 100)
  limit: number = 20;
}
