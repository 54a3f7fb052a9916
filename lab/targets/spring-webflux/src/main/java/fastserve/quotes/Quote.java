package fastserve.quotes;

import org.springframework.data.annotation.Id;
import org.springframework.data.relational.core.mapping.Table;

@Table("quotes")
public record Quote(@Id Integer id, String words, String author) {
}
