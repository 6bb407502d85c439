-- Also tenants of which rows are there and no head.
SELECT tenant_id, max(number), max(hash)
FROM (
    SELECT tenant_id, number, hash FROM audit_heads
    UNION ALL
    SELECT DISTINCT tenant_id, CAST(0 AS BIGINT) AS number, '' AS hash FROM audit
) AS tenants
GROUP BY tenant_id
ORDER BY tenant_id
