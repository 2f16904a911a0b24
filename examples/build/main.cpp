// main.cpp -- the same in C++, with a session that closes itself and errors as exceptions.
#include "line.h"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

struct Close {
    void operator()(mdl_session *s) const { mdl_close(s); }
};
using Session = std::unique_ptr<mdl_session, Close>;

static void check(int code, const mdl_session *s) {
    if (code) throw std::runtime_error(s ? mdl_error(s) : line_model()->error(nullptr));
}

int main() try {
    mdl_session *opened = nullptr;
    check(line_open(&opened, nullptr), nullptr);
    Session s(opened);
    const std::vector<float> x{-1, 0, 1, 2}, y{-1, 1, 3, 5}, far{10};
    std::vector<float> answer(1);
    float loss = 0;
    for (int i = 0; i < 500; i++) check(line_step(s.get(), 4, x.data(), y.data(), &loss), s.get());
    check(line_predict(s.get(), 1, far.data(), answer.data()), s.get());
    std::printf("C++: y(10) = %.2f\n", static_cast<double>(answer[0]));
} catch (const std::exception &e) {
    std::puts(e.what());
    return 1;
}
