import { applyDecorators } from '@nestjs/common';
import { Transform } from 'class-transformer';
import { IsInt, Matches, Max, Min } from 'class-validator';

/** A whole number in a query: `@Type(() => Number)` would take an empty text for 0. */
export const WholeNumber = (least: number, most: number) =>
  applyDecorators(
    Transform(({ value }) =>
      typeof value === 'string' && /^\d{1,9}$/.test(value)
        ? Number(value)
        : value,
    ),
    IsInt(),
    Min(least),
    Max(most),
  );

/**
 * Text of so many characters, as the database counts them: `@Length()` does not count variation selectors. Without NUL, which
 * PostgreSQL refuses, and halves of surrogate pairs.
 */
export const Text = (least: number, most: number) =>
  Matches(new RegExp(`^[^\\0\\p{Cs}]{${least},${most}}$`, 'u'), {
    message: `$property must be text of ${least} to ${most} characters`,
  });
