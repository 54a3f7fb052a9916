import 'reflect-metadata';
import cluster from 'node:cluster';
import compress from '@fastify/compress';
import helmet from '@fastify/helmet';
import { ConsoleLogger, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  FastifyAdapter,
  type NestFastifyApplication,
} from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { supervise } from './cluster.js';
import { type Environment, validateEnvironment } from './environment.js';

async function bootstrap(env: Environment): Promise<void> {
  // Sessions of HTTP/2 stay open for as long as their clients like, and closing would wait for them.
  const adapter =
    env.HTTP === '2'
      ? new FastifyAdapter({ http2: true, forceCloseConnections: true })
      : new FastifyAdapter();
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule,
    adapter,
    {
      logger: new ConsoleLogger({
        json: true,
        logLevels: ['fatal', 'error', 'warn', 'log'],
      }),
    },
  );

  await app.register(helmet);
  if (env.GZIP === 'on') {
    await app.register(compress, {
      threshold: 1024,
      encodings: ['gzip'],
      zlibOptions: { level: 6 },
      globalDecompression: false,
    });
  }
  app.useGlobalPipes(new ValidationPipe({ whitelist: true, transform: true }));
  app.enableShutdownHooks();

  await app.listen(env.PORT, env.HOST);
}

const env = validateEnvironment(process.env);
if (cluster.isPrimary && env.WORKERS > 1) {
  supervise(env.WORKERS);
} else {
  await bootstrap(env);
}
