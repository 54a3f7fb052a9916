import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('quotes')
export class Quote {
  @PrimaryColumn({ type: 'int' })
  id: number;

  @Column({ type: 'text' })
  words: string;

  @Column({ type: 'text' })
  author: string;
}
