package fastserve.posts;

record PostResponse(
        String id, String authorId, String title, String body, boolean published, String createdAt, String updatedAt) {

    static PostResponse of(Post post) {
        return new PostResponse(post.getId(), post.getAuthorId(), post.getTitle(), post.getBody(), post.isPublished(),
                post.getCreatedAt(), post.getUpdatedAt());
    }
}
