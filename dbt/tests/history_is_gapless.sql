-- Intervals of one thing follow each other: none begins before the one before it has ended.
select *
from (
    select
        interval_key,
        valid_to,
        lead(valid_from) over (partition by task_gid, field, project_gid order by valid_from, interval_key) as next_from
    from {{ ref('asana_task_history') }}
) as intervals
where next_from is not null and (valid_to is null or valid_to > next_from)
