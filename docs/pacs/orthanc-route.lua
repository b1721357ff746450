-- Auto-routing rule for Orthanc: every image series of a study goes to the spine node; nothing else does.
--
-- Only modalities of ROUTED are sent. What the node returns (SR, SEG) is not among them, so results that arrive
-- in the same study are never sent back and no loop can start. A series is sent when it has become stable
-- (StableAge in orthanc.json); the node puts the series of a study together by its own quiet period.
-- Instances that the node already has are acknowledged again and start nothing, so a second sending is harmless.
--
-- In orthanc.json:
--   "LuaScripts": ["/etc/orthanc/orthanc-route.lua"],
--   "DicomModalities": { "spineai": ["SPINEAI", "10.0.0.5", 11112] }

local DESTINATION = 'spineai'
local ROUTED = { MR = true, CT = true, XA = true, RF = true, CR = true, DX = true }
-- Lower-case words; a series is sent when one of them is in its body part or description. Empty: every series.
local WORDS = {}

local function isWanted(tags)
  if not ROUTED[tags['Modality'] or ''] then
    return false
  end
  if #WORDS == 0 then
    return true
  end
  local text = string.lower((tags['BodyPartExamined'] or '') .. ' ' .. (tags['SeriesDescription'] or ''))
  for _, word in ipairs(WORDS) do
    if string.find(text, word, 1, true) then
      return true
    end
  end
  return false
end

function OnStableSeries(seriesId, tags, metadata)
  if not isWanted(tags) then
    return
  end
  -- A job: Orthanc goes on while it runs, and lists it under /jobs, where a failed one can be resubmitted.
  local job = { Resources = { seriesId }, Synchronous = false, Permissive = false }
  RestApiPost('/modalities/' .. DESTINATION .. '/store', DumpJson(job, true))
end
