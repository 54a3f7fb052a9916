import { Text } from '../../validation/decorators.js';

export class PostParams {
  @Text(1, 64)
  id: string;
}
