import {
  Body,
  Controller,
  Get,
  HttpStatus,
  Param,
  ParseUUIDPipe,
  Post as HttpPost,
  Query,
  UseGuards,
} from '@nestjs/common';
import { AuthGuard } from '../auth/auth.guard.js';
import { Subject } from '../auth/subject.decorator.js';
import { CreatePostDto } from './dto/create-post.dto.js';
import { ListPostsQuery } from './dto/list-posts.query.js';
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
  findOne(
    // What is no UUID is no post's.
    @Param('id', new ParseUUIDPipe({ errorHttpStatusCode: HttpStatus.NOT_FOUND }))
    id: string,
  ): Promise<Post> {
    return this.posts.findOne(id);
  }
}
