import { randomUUID } from 'node:crypto';
import { Injectable, NotFoundException } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { CreatePostDto } from './dto/create-post.dto.js';
import { Post } from './post.entity.js';

@Injectable()
export class PostsService {
  constructor(
    @InjectRepository(Post) private readonly posts: Repository<Post>,
  ) {}

  async create(authorId: string, dto: CreatePostDto): Promise<Post> {
    // Six digits of a second, so that the text sorts as the time does.
    const now = new Date().toISOString().replace('Z', '000Z');
    const post = this.posts.create({
      id: randomUUID(),
      author_id: authorId,
      ...dto,
      created_at: now,
      updated_at: now,
    });
    // `save` would look first whether it is there.
    await this.posts.insert(post);
    return post;
  }

  newestPublished(limit: number): Promise<Post[]> {
    return this.posts.find({
      where: { published: true },
      order: { created_at: 'DESC', id: 'DESC' },
      take: limit,
    });
  }

  async findOne(id: string): Promise<Post> {
    const post = await this.posts.findOneBy({ id });
    if (!post) throw new NotFoundException();
    return post;
  }
}
