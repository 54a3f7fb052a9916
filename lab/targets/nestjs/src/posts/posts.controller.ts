import {
  Body,
  Controller,
  Get,
  Param,
  Post as HttpPost,
  Query,
  UseGuards,
} from '@nestjs/common';
import { AuthGuard } from '../auth/auth.guard.js';
import { Subject } from '../auth/subject.decorator.js';
import { CreatePostDto } from './dto/create-post.dto.js';
import { ListPostsQuery } from './dto/list-posts.query.js';
import { PostParams } from './dto/post.params.js';
import { Post } from './post.entity.js';
import { PostsService } from './posts.service.js';

@Controller('api/v1/posts')
@UseGuards(AuthGuard)
export class PostsController {
  constructor(private readonly posts: PostsService) {}

  @HttpPost()
  create(@Subject() author: string, @Body() dto: CreatePostDto): Promise<Post> {
    return this.posts.create(author, dto);
  }

  @Get()
  async list(@Query() { limit }: ListPostsQuery): Promise<{ items: Post[] }> {
    return { items: await this.posts.newestPublished(limit) };
  }

  @Get(':id')
  findOne(@Param() { id }: PostParams): Promise<Post> {
    return this.posts.findOne(id);
  }
}
