import { Module } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { Environment } from '../environment.js';
import { PostsModule } from '../posts/posts.module.js';
import { QuotesModule } from '../quotes/quotes.module.js';
import { connection } from './connection.js';

@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService<Environment, true>) => ({
        // The number is for all processes together; each takes its share.
        ...connection(
          config.get<string>('DATABASE_URL'),
          Math.max(
            1,
            Math.floor(
              config.get<number>('POOL_SIZE') / config.get<number>('WORKERS'),
            ),
          ),
        ),
        autoLoadEntities: true,
        synchronize: false,
        logging: ['error'],
      }),
    }),
    PostsModule,
    QuotesModule,
  ],
})
export class StorageModule {}
