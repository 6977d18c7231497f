{#- Days, with fractions, from one time to another. -#}
{%- macro days_between(first, last) -%}
cast(extract(epoch from ({{ last }} - {{ first }})) as double precision) / 86400
{%- endmacro -%}
