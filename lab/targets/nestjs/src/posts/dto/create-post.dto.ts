import { IsBoolean } from 'class-validator';
import { Text } from '../../validation/decorators.js';

export class CreatePostDto {
  @Text(1, 200)
  title: string;

  @Text(0, 10_000)
  body: string;

  @IsBoolean()
  published: boolean = false;
}
