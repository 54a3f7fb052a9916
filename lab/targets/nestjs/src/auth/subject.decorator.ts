import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { SignedRequest } from './auth.guard.js';

/** Whom the token speaks of. */
export const Subject = createParamDecorator(
  (_: unknown, context: ExecutionContext): string =>
    context.switchToHttp().getRequest<SignedRequest>().user.sub,
);
