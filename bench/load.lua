-- Sends the bodies of some files, one after another, and prints what came of it as one line of JSON.
-- wrk -s load.lua URL -- CONTENT-TYPE ACCEPT HEADERS [NAME VALUE]... FILE...

local requests, turn = {}, 0

function init(args)
  local headers = { ["content-type"] = args[1], ["accept"] = args[2] }
  local first = 4 + 2 * tonumber(args[3])
  for number = 4, first - 1, 2 do
    headers[args[number]] = args[number + 1]
  end
  for number = first, #args do
    local file = assert(io.open(args[number], "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests":%d,"duration_s":%.6f,"mean_ms":%.4f,"p50_ms":%.4f,"p90_ms":%.4f,"p99_ms":%.4f,'
      .. '"max_ms":%.4f,"refused":%d,"broken":%d,"late":%d}',
    summary.requests, summary.duration / 1e6, latency.mean / 1e3, latency:percentile(50) / 1e3,
    latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
