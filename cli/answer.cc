#include "cli/answer.h"

#include <array>
#include <cstdio>
#include <sstream>

#include "cryptoki/return_codes.h"
#include "halog/escape.h"

namespace p11ha::cli {
namespace {

std::string resultLine(CK_RV rv) {
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "0x%lx", rv);
  return std::string("Command Result : ") + number.data() + " (" + cryptoki::returnCodeName(rv) + ")\n";
}

std::string document(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string shownTrouble(const Trouble& trouble) {
  const std::string& soFar = trouble.soFar.text;
  std::string text = (soFar.empty() ? "\n" : "\n" + soFar + "\n") + sentence("Error: " + trouble.what + ".");
  if (!trouble.next.empty()) text += sentence(trouble.next);
  return text + "\n" + resultLine(trouble.rv);
}

// Without the indents that they have where they are read.
Json linesOf(const std::string& text) {
  Json lines = Json::array();
  std::istringstream rest(text);
  for (std::string line; std::getline(rest, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin != std::string::npos) lines.push_back(line.substr(begin));
  }
  return lines;
}

}  // namespace

std::string sentence(const std::string& text) { return "        " + text + "\n"; }

std::string escaped(std::string_view text) {
  std::string result;
  halog::appendEscaped(result, text);
  return result;
}

std::string shown(const Answer& answer, bool asJson) {
  if (!answer) {
    const Trouble& trouble = answer.error();
    if (!asJson) return shownTrouble(trouble);
    Json json = trouble.soFar.json.value_or(Json::object());
    json["error"] = {{"code", cryptoki::returnCodeName(trouble.rv)},
                     {"value", trouble.rv},
                     {"text", trouble.what},
                     {"next", trouble.next}};
    return document(json);
  }
  if (asJson) return document(answer->json.value_or(Json{{"text", linesOf(answer->text)}}));
  const std::string result = "Command Result : No Error\n";
  return answer->text.empty() ? "\n" + result : "\n" + answer->text + "\n" + result;
}

}  // namespace p11ha::cli
