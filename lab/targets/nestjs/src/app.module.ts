import { Module } from '@nestjs/common';
import { ConditionalModule, ConfigModule } from '@nestjs/config';
import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import { validateEnvironment } from './environment.js';
import { HealthController } from './health/health.controller.js';
import { ReportsModule } from './reports/reports.module.js';
import { StorageModule } from './storage/storage.module.js';

@Module({
  imports: [
    ConfigModule.forRoot({
      isGlobal: true,
      ignoreEnvFile: true,
      validate: validateEnvironment,
    }),
    PrometheusModule.register(),
    ReportsModule,
    // The server starts without a database too, and then has nothing that needs one.
    ConditionalModule.registerWhen(
      StorageModule,
      (env) => env.DATABASE_URL !== undefined,
    ),
  ],
  controllers: [HealthController],
})
export class AppModule {}
