package fastserve.quotes;

import jakarta.persistence.Entity;
import jakarta.persistence.Id;
import jakarta.persistence.Table;

@Entity
@Table(name = "quotes")
public class Quote {

    @Id
    private Integer id;
    private String words;
    private String author;

    protected Quote() {
    }

    public Integer getId() {
        return id;
    }

    public String getWords() {
        return words;
    }

    public String getAuthor() {
        return author;
    }
}
