import { plainToInstance } from 'class-transformer';
import {
  IsIn,
  IsInt,
  IsNotEmpty,
  IsOptional,
  IsString,
  Min,
  validateSync,
} from 'class-validator';

export class Environment {
  @IsString()
  HOST: string = '127.0.0.1';

  @IsInt()
  @Min(0)
  PORT: number = 8080;

  @IsInt()
  @Min(1)
  WORKERS: number = 1;

  @IsOptional()
  @IsString()
  DATABASE_URL?: string;

  @IsInt()
  @Min(1)
  POOL_SIZE: number = 10;

  @IsIn(['none', 'memory', 'redis'])
  CACHE: 'none' | 'memory' | 'redis' = 'none';

  @IsString()
  REDIS_URL: string = 'redis://127.0.0.1:6379';

  @IsIn(['on', 'off'])
  GZIP: 'on' | 'off' = 'off';

  @IsIn(['1', '2'])
  HTTP: '1' | '2' = '1';

  @IsString()
  @IsNotEmpty()
  TOKEN_SECRET: string;
}

export function validateEnvironment(
  variables: Record<string, unknown>,
): Environment {
  const environment = plainToInstance(Environment, variables, {
    // Numbers arrive as text.
    enableImplicitConversion: true,
  });
  const errors = validateSync(environment);
  if (errors.length > 0) {
    throw new Error(errors.map((error) => error.toString()).join(''));
  }
  return environment;
}
