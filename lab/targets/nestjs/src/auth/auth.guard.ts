import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  UnauthorizedException,
} from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import type { FastifyRequest } from 'fastify';

export interface Claims {
  sub: string;
  exp: number;
}

export type SignedRequest = FastifyRequest & { user: Claims };

@Injectable()
export class AuthGuard implements CanActivate {
  constructor(private readonly jwt: JwtService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<SignedRequest>();
    try {
      request.user = await this.claims(request.headers.authorization);
    } catch {
      throw new UnauthorizedException();
    }
    return true;
  }

  private async claims(authorization = ''): Promise<Claims> {
    const [scheme, token] = authorization.split(' ');
    if (scheme.toLowerCase() !== 'bearer') throw new Error('no bearer token');
    const { sub, exp } = await this.jwt.verifyAsync<Partial<Claims>>(token);
    // What a token must have, and an author's column can hold.
    if (typeof sub !== 'string' || sub.length > 64 || exp === undefined) {
      throw new Error('a claim is missing');
    }
    return { sub, exp };
  }
}
