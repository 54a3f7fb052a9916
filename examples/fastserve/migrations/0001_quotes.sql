-- A thousand sayings, made of ten beginnings, ten middles and ten ends. The column is called `words` because `text` is a
-- type.
create table quotes (
    id int primary key,
    words text not null,
    author text not null
);

with beginnings (n, words, author) as (
    values
        (0, 'A quiet harbour', 'Ada'), (1, 'The early baker', 'Bela'), (2, 'A patient well', 'Chun'),
        (3, 'An honest clock', 'Dora'), (4, 'The last lantern', 'Emil'), (5, 'A borrowed ladder', 'Fumi'),
        (6, 'The oldest bridge', 'Gita'), (7, 'A careful gardener', 'Hana'), (8, 'The narrow path', 'Ines'),
        (9, 'A good question', 'Jun')
),
middles (n, words) as (
    values
        (0, 'teaches'), (1, 'outlasts'), (2, 'welcomes'), (3, 'remembers'), (4, 'forgives'), (5, 'carries'),
        (6, 'follows'), (7, 'answers'), (8, 'repairs'), (9, 'surprises')
),
ends (n, words) as (
    values
        (0, 'the storm'), (1, 'a stubborn mind'), (2, 'the first guest'), (3, 'every winter'), (4, 'the hurried crowd'),
        (5, 'a broken promise'), (6, 'the long night'), (7, 'its own maker'), (8, 'the loudest voice'),
        (9, 'tomorrow')
)
insert into quotes (id, words, author)
select
    beginnings.n * 100 + middles.n * 10 + ends.n + 1,
    beginnings.words || ' ' || middles.words || ' ' || ends.words || '.',
    beginnings.author
from beginnings, middles, ends;
