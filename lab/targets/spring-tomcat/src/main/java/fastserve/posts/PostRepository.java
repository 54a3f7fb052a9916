package fastserve.posts;

import java.util.List;

import org.springframework.data.domain.Limit;
import org.springframework.data.jpa.repository.JpaRepository;
import org.springframework.transaction.annotation.Transactional;

interface PostRepository extends JpaRepository<Post, String> {

    @Transactional(readOnly = true)
    List<Post> findByPublishedTrueOrderByCreatedAtDescIdDesc(Limit limit);
}
