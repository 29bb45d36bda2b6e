#include "tests/conformance/comparison/transcript.h"

#include <istream>
#include <stdexcept>

namespace p11ha::conformance {
namespace {

std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> parts(1);
  for (const char c : line) {
    if (c == '\t') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

void addAnswer(Transcript& transcript, const std::vector<std::string>& parts) {
  if (transcript.empty() || transcript.back().rv != kDied) throw std::runtime_error("an answer without a call");
  Entry& entry = transcript.back();
  entry.rv = parts.at(1);
  for (std::size_t i = 2; i + 1 < parts.size(); i += 2) entry.outputs.push_back({parts[i], parts[i + 1]});
}

}  // namespace

std::string escaped(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '\\') {
      safe += {'\\', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string callLine(const Entry& entry) {
  return "call\t" + entry.section + '\t' + std::to_string(entry.number) + '\t' + entry.function + '\t' + entry.state +
         '\t' + entry.standing + '\t' + entry.situation + '\n';
}

std::string answerLine(const Entry& entry) {
  std::string line = "answer\t" + entry.rv;
  for (const Output& output : entry.outputs) line += '\t' + output.name + '\t' + output.value;
  return line + '\n';
}

Transcript readTranscript(std::istream& in) {
  Transcript transcript;
  std::string line;
  while (std::getline(in, line)) {
    const auto parts = fields(line);
    if (parts[0] == "call" && parts.size() == 7) {
      transcript.push_back({parts[1],
                            static_cast<unsigned>(std::stoul(parts[2])),
                            parts[3],
                            parts[4],
                            parts[5],
                            parts[6],
                            std::string(kDied),
                            {}});
    } else if (parts[0] == "answer" && parts.size() >= 2 && parts.size() % 2 == 0) {
      addAnswer(transcript, parts);
    } else {
      throw std::runtime_error("not a line of a transcript: " + line);
    }
  }
  return transcript;
}

std::string describe(const Entry& entry) {
  return entry.section + ' ' + std::to_string(entry.number) + ": " + entry.function + '(' + entry.situation + ") in " +
         entry.state + ", " + entry.standing;
}

}  // namespace p11ha::conformance
