import { Controller, Get, Query } from '@nestjs/common';
import { ComputeQuery } from './dto/compute.query.js';
import { fibonacci } from './fibonacci.js';
import { type Report, ReportsService } from './reports.service.js';

@Controller('api')
export class ReportsController {
  constructor(private readonly reports: ReportsService) {}

  @Get('compute')
  compute(@Query() { n }: ComputeQuery): { n: number; fibonacci: number } {
    return { n, fibonacci: fibonacci(n) };
  }

  @Get('cache')
  cache(): Promise<Report> {
    return this.reports.report();
  }
}
