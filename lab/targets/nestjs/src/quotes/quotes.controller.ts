import { Controller, Get } from '@nestjs/common';
import { Quote } from './quote.entity.js';
import { QuotesService } from './quotes.service.js';

@Controller('api/db')
export class QuotesController {
  constructor(private readonly quotes: QuotesService) {}

  @Get()
  random(): Promise<Quote> {
    return this.quotes.random();
  }
}
