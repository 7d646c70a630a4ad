create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 50)
  insert into t select i, printf('%05d', (i * 7919) % 1000), i / 7.0 from n;
create index by_text on t(b);
select count(*), sum(a), round(avg(c), 6), min(b), max(b) from t;
select b, a from t order by b desc limit 5;
begin; delete from t where a % 3 = 0; rollback;
delete from t where a % 2 = 0;
select group_concat(a) from t where b > '00500';
pragma integrity_check;
