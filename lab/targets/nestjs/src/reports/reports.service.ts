import { CACHE_MANAGER, type Cache } from '@nestjs/cache-manager';
import { Inject, Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Environment } from '../environment.js';
import { fibonacci } from './fibonacci.js';

const REPORT_OF = 32;
const KEPT_MS = 60_000;

export interface Report {
  answer: number;
  made_at: string;
}

@Injectable()
export class ReportsService {
  private readonly isCached: boolean;

  constructor(
    @Inject(CACHE_MANAGER) private readonly cache: Cache,
    config: ConfigService<Environment, true>,
  ) {
    this.isCached = config.get('CACHE') !== 'none';
  }

  async report(): Promise<Report> {
    const make = async () => ({
      answer: fibonacci(REPORT_OF),
      made_at: new Date().toISOString(),
    });
    return this.isCached ? this.cache.wrap('report', make, KEPT_MS) : make();
  }
}
