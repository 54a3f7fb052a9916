import { randomInt } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Quote } from './quote.entity.js';

const QUOTES = 1000;

@Injectable()
export class QuotesService {
  constructor(
    @InjectRepository(Quote) private readonly quotes: Repository<Quote>,
  ) {}

  random(): Promise<Quote> {
    return this.quotes.findOneByOrFail({ id: randomInt(1, QUOTES + 1) });
  }
}
